"""The Runner's side: hooks, loops, checkpoint loading."""
