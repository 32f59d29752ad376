"""The server: pages and API over HTTP, and what guards them."""
