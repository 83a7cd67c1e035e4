"""What each thing costs, beside the same work in hand-written SQL."""
