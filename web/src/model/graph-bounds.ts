/** How many tasks a graph has at most. */
export const mostBoxes = 300;
