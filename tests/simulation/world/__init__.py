"""People with hidden habits: the world that judges the learner, and knows nothing of it.

Frozen: it was written before the model was, and is not changed to suit it. A package of its own that imports nothing
of Horae, and that Horae never imports (`test_frozen.py` holds both, and the worlds' fingerprints). `spec` says which
worlds there are, `people` draws who lives in one, `habits` when they look at messages, `running` lets days pass and
answers what is sent, and can say what the best moment would have been.
"""
