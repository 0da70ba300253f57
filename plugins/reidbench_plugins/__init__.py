"""The built-in defenses, one file each. They use the hooks and the public names that a third party's would."""
