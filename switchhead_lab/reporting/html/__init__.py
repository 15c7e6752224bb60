"""The report of a whole workspace as one HTML page."""
