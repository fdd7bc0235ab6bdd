"""The look at the world from which a plan is made; reads, and changes nothing."""
