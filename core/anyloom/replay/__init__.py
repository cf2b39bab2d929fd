"""What made an answer, written down so that it can be made again bit for bit."""
