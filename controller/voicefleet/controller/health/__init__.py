"""How well each region is, and why: one pure model (`assess`), what it is made from, and the log of incidents."""
