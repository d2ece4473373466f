"""Scripts that run an artifact without this project, as its users do."""
