"""What calls cost and how many tokens they take: prices, forecasts, context windows, plans."""
