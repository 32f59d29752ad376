"""What a challenge keeps: its folder, its database, the trail, and copies of all of it."""
