"""The messages of the contract to the domain and back."""
