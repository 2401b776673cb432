"""The schema: each noun's types with its queries, mutations and subscriptions."""
