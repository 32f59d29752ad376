"""What photos are like, which are odd, and what is missing."""
