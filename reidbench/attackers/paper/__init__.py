"""The recipe of Packhäuser et al. (Sci. Rep. 12, 2022) to the letter: what preset ``paper`` trains."""
