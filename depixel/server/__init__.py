"""The server of `depixel challenge`: teams, attempts, the leaderboard."""
