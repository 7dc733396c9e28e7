"""What tests, the benchmarks and the demo share: waiting, processes of ours, and a whole fleet to play with."""
