"""How good the answers are, by what was judged beforehand."""
