"""The record of measures: the worker that states what a policy's rules ask for."""
