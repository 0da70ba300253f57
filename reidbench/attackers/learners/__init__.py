"""How the attackers' networks are trained. Lightning takes seconds to import: only what trains imports this room."""
