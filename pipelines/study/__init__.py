"""Study: was it the information, the tuning or the model?"""
