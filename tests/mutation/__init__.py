"""Would the tests notice? Load-bearing lines are broken one at a time, each in a copy of the tree."""
