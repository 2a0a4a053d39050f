"""What does this event deserve: gate, policy, rules, assessment."""
