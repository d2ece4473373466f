"""Scripts that ask an artifact as its users do, without this project."""
