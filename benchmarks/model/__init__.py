"""`make bench-model`: Horae's choice of moments beside simple ones, judged by worlds that none of them can see into."""
