"""What is minimised: priors, likelihoods, generators and the energy, on tensors."""
