"""What a policy says about motor control: gait and EMG beside people's, muscle synergies, control in a subspace.

Its functions take plain arrays with names and a sampling rate, and return labelled tables (pandas, of the `analysis`
extra) and pictures.
"""
