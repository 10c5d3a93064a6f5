"""What live pages share: how templates are set up, the base style, macros, and the live script."""
