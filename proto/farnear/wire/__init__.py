"""Builds the messages of the contract from inputs, and reads its answers into results: shared by both clients."""
