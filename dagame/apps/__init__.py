"""The command line, the demo, the doctor and the report page."""
