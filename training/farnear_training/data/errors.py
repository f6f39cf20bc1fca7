"""What training data can be refused for."""


class DataError(ValueError):
    """The images given cannot be trained on; the message names the file or folder and says what is allowed."""
