"""What `kolab bench loop` and its neighbours are made of: the loops that are compared, and how they take turns."""
