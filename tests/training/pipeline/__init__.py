"""The pipeline: nine steps, what is kept between them, and what they come to."""
