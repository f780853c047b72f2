"""What people look at while a model learns, and what it will take."""
