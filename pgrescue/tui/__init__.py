"""The terminal UI: screens over `desk`, made for a bad line and a small terminal."""
