"""Search: what is asked, what is answered, and the documents in between; one port, several engines.

`ports` holds the question and the answer, `words` how texts are cut, `documents` what is found, `postgres` the engine
that is always there. Another engine lives in `infra/elasticsearch`.
"""
