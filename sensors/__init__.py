"""The outside world becomes Readings; one file per protocol or vendor."""
