"""Proof that nobody edited the past: the digest chain, the Merkle tree, signed heads, bundles."""
