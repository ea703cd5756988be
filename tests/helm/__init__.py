"""The chart and the image: what renders, what is refused, and the real processes in what they describe."""
