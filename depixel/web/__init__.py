"""The page of `depixel serve` and its HTTP API."""
