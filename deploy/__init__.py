"""What runs the product and what it runs on; nothing here is part of the installed package."""
