"""Building, loading and calling the operators' C++; headers that they share."""
