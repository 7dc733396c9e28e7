"""Who lives in the simulated network: people with phones, their linked devices, and what is kept of them."""
