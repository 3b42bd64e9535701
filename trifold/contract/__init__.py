"""What a model takes: columns or a tensor, checked as JSON, Arrow or CSV; and what its profile says of it."""
