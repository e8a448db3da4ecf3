"""What turns lessons into web pages that need neither a kernel nor a network. docs/conf.py is where Sphinx begins."""
