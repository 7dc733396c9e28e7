"""Makes what runs equal to what is wanted: facts are observed, decisions are pure, actions go through the engine."""
