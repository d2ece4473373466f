"""A trained network out, as artifacts that answer the question by themselves.

`saved_model` writes what TF Serving loads, `tflite` what a phone loads, and
`verification` asks each in a process of its own for the same answers.
"""
