"""The form of records in files: attacks as rows, trainings once."""
