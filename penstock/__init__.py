"""The composition root: settings, wiring, supervisor, command line, web, migrations, demo."""
