"""What may go and what must stay, and taking it away."""
