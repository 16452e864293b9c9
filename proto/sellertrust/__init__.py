"""The contract (`sellertrust.v1`) and a client (`sellertrust.client`).

Nothing is imported here, so that a program which only reads messages does not load gRPC.
"""
